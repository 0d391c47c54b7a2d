// Package gossiptest tests networks whose hosts find each other, on hosts that run the real Podman.
package gossiptest
