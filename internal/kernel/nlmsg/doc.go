// Package nlmsg reads and writes the attributes of netlink messages
// (include/uapi/linux/netlink.h): the bytes that rtnetlink and nfnetlink share.
package nlmsg
