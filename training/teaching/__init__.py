"""Networks that teach another: their answers for each face, kept or asked anew, and how well a network keeps them."""
