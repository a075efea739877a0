"""The bundled model: clothing on photographs, distilled from a larger network."""
