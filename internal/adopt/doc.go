// Package adopt turns a network that another host has into the command that creates it on this one.
package adopt
