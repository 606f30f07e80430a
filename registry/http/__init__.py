"""The registry's two doors: plain HTTP for what is public, HTTPS for the rest."""
