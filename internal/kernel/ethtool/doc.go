// Package ethtool reads and sets what a link leaves to the card, by ethtool's netlink
// (Documentation/networking/ethtool-netlink.rst, Linux 5.6).
package ethtool
