"""C code of re6stnet; each part has a plain-Python reference that tests hold it to."""
