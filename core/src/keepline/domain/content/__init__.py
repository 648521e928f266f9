"""What a message says: kinds (`bodies`), earlier messages' names (`references`), limits (`checks`), maps (`maps`, `heard`)."""
