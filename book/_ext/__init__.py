"""From chapter sources to the rendered book: run what is not fresh, merge outputs, build pages."""
