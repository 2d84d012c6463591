package bot

// scorePassed is the least score of who passed a challenge: likely human.
const scorePassed = 30

// Passed is the result for a client that passed a challenge.
func (r Result) Passed() Result {
	if r.Score < scorePassed {
		r.Score, r.Reasons = scorePassed, append(r.Reasons, ReasonChallengePassed)
	}
	return r
}
