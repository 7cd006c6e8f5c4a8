"""`backstop verify`: what stands in the topics follows from the journals, to the byte, and nothing is missing.

`run` is the proof of a venue, `proof` that of one stream, made of `outputs` (events), `inputs` (every record that was
read) and `crossings` (what engines and settlement told each other). `evidence` says what a proof is made from.
"""
