// Package gossiptest tests networks with discovery=gossip on hosts that run the real Podman.
package gossiptest
