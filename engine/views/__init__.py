"""What a person sees of a session: answers and stream messages as projections of committed records."""
