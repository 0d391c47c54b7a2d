// Package podmannet reads and rewrites the files in which Podman keeps its networks, under the lock
// that Podman takes.
package podmannet
