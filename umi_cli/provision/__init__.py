"""What a factory line does to each unit, and what is known of it afterwards."""
