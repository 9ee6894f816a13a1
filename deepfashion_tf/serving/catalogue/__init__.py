"""Tags a catalogue: any number of photographs, on all cores or a cluster, by Ray.

The images are divided into shards in the order in which they come. A shard is what is done whole
or not at all: a Parquet file that appears when its last image is answered. Whatever is killed, the
same command does the shards that are missing, and no other.
"""
