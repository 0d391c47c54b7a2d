// Package encryptiontest tests what others can read of an encrypted network, and what they can put into it.
package encryptiontest
