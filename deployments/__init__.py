"""How the house gets onto servers, and how it is watched there."""
