"""Where the VEN touches the world: sockets, netlink, nft, files, clocks. It decides nothing."""
