// Package ipam decides which addresses a host may hand out.
package ipam
