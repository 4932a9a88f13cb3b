"""How it plays out: the rules of contention, and the engines that follow them."""
