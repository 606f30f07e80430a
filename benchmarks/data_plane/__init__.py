"""What do tunnels cost, over 1 to 3 hops: ours, hand-made ones, and those of other programs?"""
