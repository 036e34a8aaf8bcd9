"""Evidence along the genome: numbers from bigWig files, splice junctions of aligned reads."""
