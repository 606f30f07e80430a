"""The Internet of a lab: carries frames between the sites, each pair with a link of its own."""
