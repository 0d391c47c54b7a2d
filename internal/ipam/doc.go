// Package ipam decides which addresses a host may hand out, and which is its own.
package ipam
