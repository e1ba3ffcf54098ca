"""The memory of people: who has been seen, how they look in each modality, when and where."""
