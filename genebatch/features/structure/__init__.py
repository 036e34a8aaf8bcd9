"""Weighs chains of splice sites along a gene by lengths of exons and introns and reading frames."""
