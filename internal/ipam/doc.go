// Package ipam decides which addresses a host assigns to containers, and which is its own.
package ipam
