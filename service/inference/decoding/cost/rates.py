"""What each step of decoding costs: nanoseconds of a processor, rounded up from measurements.

`python -m benchmarks.decode_cost` measures real against estimated times over generated, mutated and good pictures;
docs/adr/0018 has its figures and says on which processor.
"""

from __future__ import annotations

from typing import Final

START_NS: Final = 4_000_000
"""Opening any picture: Python code of its plugin."""

FINISH_NS: Final = 15
"""A pixel once it is decoded: to RGB, upright, and over to the thread that asked."""

JPEG_TABLE_BYTE_NS: Final = 100
"""A byte of quantisation or Huffman tables, which Pillow unpacks in Python."""
JPEG_SCAN_NS: Final = 40_000
"""A scan: its tables are derived anew."""
JPEG_BLOCK_NS: Final = 60
"""A block of 8 x 8 coefficients in one sequential scan."""
JPEG_PROGRESSIVE_BLOCK_NS: Final = 30
"""A block in one progressive scan, without its coefficients."""
JPEG_COEFFICIENT_NS: Final = 1.5
"""A coefficient that a progressive scan passes by, whether the file spends a bit on it or not."""
JPEG_BYTE_NS: Final = 20
"""A byte of entropy-coded data: up to four coefficients."""
JPEG_SAMPLE_NS: Final = 6
"""A sample of a component in the finished picture: inverse transform, smoothing, scaling up and colour."""

PNG_BYTE_NS: Final = 50
"""A compressed byte; deflate can put a new table of codes into every dozen of them."""
PNG_SAMPLE_BYTE_NS: Final = 7
"""An uncompressed byte: copied out, unfiltered and unpacked."""
PNG_ROW_NS: Final = 300
"""A row, of which interlaced pictures have up to seven kinds."""
PNG_INTERLACED_PIXEL_NS: Final = 10
"""A pixel that Adam7 puts in its place by itself."""

WEBP_LOSSY_PIXEL_NS: Final = 20
"""A pixel of VP8: prediction, transform, loop filter, scaling the colours up."""
WEBP_LOSSLESS_PIXEL_NS: Final = 30
"""A pixel of VP8L, and of a lossy picture's transparency."""
WEBP_CODE_NS: Final = 1500
"""A group of VP8L's Huffman tables, of which there can be one for 16 pixels and 65,536 in all."""
WEBP_BYTE_NS: Final = 50
"""A compressed byte of either."""
WEBP_CANVAS_PIXEL_NS: Final = 20
"""A pixel of the canvas, which is cleared, blended on and copied."""

AVIF_PIXEL_NS: Final = 60
"""A pixel of AV1, all planes, with its filters, and its way to RGB."""
AVIF_BYTE_NS: Final = 100
"""A compressed byte of AV1."""

HEIC_PIXEL_NS: Final = 50
"""A pixel of HEVC, all planes, with its filters, and its way to RGB."""
HEIC_BYTE_NS: Final = 100
"""A compressed byte of HEVC."""
