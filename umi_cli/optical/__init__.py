"""EN 62056-21 as bytes and time: how an optical port is signed on to, from either side."""
