// Package netlink speaks netlink, the kernel's protocol for rtnetlink and nfnetlink. It builds and
// reads messages and their attributes (include/uapi/linux/netlink.h), carries requests to the
// kernel, and subscribes to what it reports.
//
// The kernel handles a request while it is sent. So all answers are there when the send returns,
// and no request waits. Requests that belong together go in one system call.
//
// It is written by hand. With mdlayher/netlink 1.11.2 the plugin has 5,038,242 bytes instead of
// 4,866,210, and it may have 5,000,000. Each answer takes two system calls instead of one, since
// the library first reads its length. (November 2026; both start in 1.3 ms.) An error in a batch
// comes without the number of its message, so the error could not name the entry at fault.
package netlink
