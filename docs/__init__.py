"""Documentation, and the program that derives the reference from the code."""
