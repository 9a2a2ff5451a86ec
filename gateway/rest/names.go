package rest

import (
	"crypto/rand"
	"math/big"
)

const (
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newSessionID returns an id as the reference generates them: ses_, an upper-case letter and 9
// letters and digits.
func newSessionID() string {
	return "ses_" + random(upper, 1) + random(alnum, 9)
}

func random(alphabet string, n int) string {
	out := make([]byte, n)
	for i := range out {
		// Reading from crypto/rand does not fail (it ends the process when it can't work).
		digit, _ := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		out[i] = alphabet[digit.Int64()]
	}
	return string(out)
}
