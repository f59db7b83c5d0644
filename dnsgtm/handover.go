package dnsgtm

// heirloom is what one process tells the next of a zone's serial.
type heirloom struct {
	Serial uint32 `json:"serial"`
	Digest string `json:"content"`
}
