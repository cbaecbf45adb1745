"""All hints of one picture on a page, and hints as files."""
