"""The sample company: a mail provider small enough to read and wrong in two known places."""
