# On repository-v1, gives: foreign
mkfifo artifacts/fifo
