"""The letter-pair table behind the gibberish score, its sources and the script that makes it."""
