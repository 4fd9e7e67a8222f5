"""A run around its training or study: where it writes, how it begins and ends, what is recorded.

`beginning`, `directory`, `locks` and `directory_watch` are whose the directory is; `recipes` and
`saved_options` what a checkpoint says of its run; `admission` whether it may begin; `outcome`,
`parts` and `provenance` what is said of it. Nothing is imported here: a command line is read
before torch.
"""
