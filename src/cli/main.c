/* The ward program. */
#include <stdio.h>

int main(void)
{
    puts("ward 0.1.0");
    return 0;
}
