// Package bundle makes an archive of what is known of a host's networks, without its secrets.
package bundle
