/* Which place of the kernels is broken in the module of mutants (mutate.py): SIMT_MUTANT, 0 none.
 * SIMT_MUTANTS_REACHED names a file for the numbers of the places that kernels have come to. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((const)) bool simt_is_mutant(int number);

namespace
{

constexpr int max_mutants = 4096;
bool is_reached[max_mutants];

/* When the module is closed, or the program ends. */
struct writer {
    ~writer()
    {
        const char *name = getenv("SIMT_MUTANTS_REACHED");
        FILE *file = name ? fopen(name, "w") : nullptr;
        for (int i = 0; file && i < max_mutants; i++)
            if (is_reached[i])
                fprintf(file, "%d\n", i);
        if (file)
            fclose(file);
    }
} at_end;

} // namespace

bool simt_is_mutant(int number)
{
    static const char *const text = getenv("SIMT_MUTANT");
    static const long chosen = text ? strtol(text, nullptr, 10) : 0;
    if (number < max_mutants)
        is_reached[number] = true;
    return number == chosen;
}
