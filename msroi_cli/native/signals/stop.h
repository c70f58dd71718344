// A second signal ends the process whatever it is doing.
//
// A signal handler in Python runs when the interpreter gets its turn. A library that loops for ever, in a damaged file for
// instance, never gives it one.
#pragma once

namespace msroi {

// Wraps the handler of a signal: the first signal after this call goes to the handler that is there, the next one of any
// wrapped number ends the process at once with the code 128 + its number. False if there is no handler to wrap.
bool leave_at_second_signal(int number);

}  // namespace msroi
