"""Which models exist and where each lives: data in ``catalogue.toml``, read on first use."""

from acestep_fetch.catalogue.models import Catalogue, ComponentEntry, Model, load_catalogue

__all__ = ["Catalogue", "ComponentEntry", "Model", "load_catalogue"]
