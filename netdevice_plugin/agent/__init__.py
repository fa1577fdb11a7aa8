"""The node agent, `netdevice-plugin run`: it wires what is below it, and decides nothing."""
