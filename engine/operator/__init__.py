"""What a person or a program asks of a running engine: the requests, their checks, and their record."""
