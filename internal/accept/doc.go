// Package accept takes in a server's connections, also while the machine is short of descriptors.
package accept
