"""In front of a model that runs already: what passes is passed on byte for byte, and chats are recorded after their last byte."""
