"""The HTTP door, loaded when it is first used."""
