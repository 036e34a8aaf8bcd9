"""Does what one rule does: opens its files, calls the library, writes its outputs."""
