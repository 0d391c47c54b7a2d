// Package doctor finds what is wrong with this host's networks.
package doctor
