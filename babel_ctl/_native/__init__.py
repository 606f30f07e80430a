"""C code of babel_ctl; each part has a plain-Python reference that tests hold it to."""
